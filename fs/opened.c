/* opened.c - adding to a list and taking out of it. */
#include "fs/opened.h"

#include <stddef.h>

void opened_init(struct opened_list *list)
{
	pthread_mutex_init(&list->lock, NULL);
	list->first = NULL;
}

void opened_release(struct opened_list *list)
{
	pthread_mutex_destroy(&list->lock);
}

void opened_add(struct opened_list *list, struct opened *one)
{
	pthread_mutex_lock(&list->lock);
	one->next = list->first;
	one->back = &list->first;
	if (one->next != NULL)
		one->next->back = &one->next;
	list->first = one;
	pthread_mutex_unlock(&list->lock);
}

void opened_remove(struct opened_list *list, struct opened *one)
{
	pthread_mutex_lock(&list->lock);
	*one->back = one->next;
	if (one->next != NULL)
		one->next->back = one->back;
	pthread_mutex_unlock(&list->lock);
}
